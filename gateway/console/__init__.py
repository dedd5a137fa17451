"""The console door: a small HTTPS page on which a one-time link shows a password after a button was pressed."""
