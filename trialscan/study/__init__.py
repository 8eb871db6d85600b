"""What a trial is: protocol, manifest, patients, visits and arms, parsed once and frozen."""
