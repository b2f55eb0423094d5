"""What carries the media of calls: engines behind `ports.Media`, and the servers by which browsers find each other."""
