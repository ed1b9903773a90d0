"""`headgate cells`: which engine has which cell, and putting cells elsewhere."""
