"""
A fleet of servers
==================

x
"""
