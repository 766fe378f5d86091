-- Who may add links, by key.
return { ["let-me-in"] = "alice" }
