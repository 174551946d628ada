"""`crustwatch cloud ask`, `verdict`, `sample` and `depth`: a person's questions about pictures and videos."""
