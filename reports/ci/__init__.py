"""What CI systems read: gates, JUnit, annotations."""
