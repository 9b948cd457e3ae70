"""What limits explain a record of decisions? Pure: times and outcomes in, limits with intervals out."""
