"""The torch part of the methods: pure functions on tensors with a task axis."""
