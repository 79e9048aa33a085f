"""Tables, figures and one page of HTML from rows. Imports neither torch nor lightning."""
