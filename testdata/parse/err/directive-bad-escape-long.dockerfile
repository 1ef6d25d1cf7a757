# escape=\\
FROM a
