"""Results in, words out: one document, and a renderer each for plain text, Markdown, HTML and LaTeX."""
