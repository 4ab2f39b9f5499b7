"""What models cost and what they can do, before and after: measurements, latencies, reports and their pictures."""
