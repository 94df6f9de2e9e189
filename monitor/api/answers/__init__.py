"""What the API answers, as types, one module per noun: its OpenAPI description is made from them.

Instants are RFC 3339 in UTC here, epoch milliseconds everywhere below.
"""
