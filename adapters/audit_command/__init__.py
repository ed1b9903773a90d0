"""`headgate audit`: audit records as tables, with what each change was before."""
