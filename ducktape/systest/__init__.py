"""The system-test harness: real Kafka, producer strategies on it, and proof of what was delivered.

Data flows one way: tests -> services -> worker -> history -> checks and metrics -> gates -> reports. Checks
and metrics are pure functions on data; services never compute figures and checks never start anything.
"""
