"""Mails: implements `ports.Mailer`."""
