"""
The Headgate contract as Python modules (`headgate.v1`), and a thin client (`headgate.client`).
"""
