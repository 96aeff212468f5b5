"""For those who run the instance: applications to review, and the servers it speaks with."""
