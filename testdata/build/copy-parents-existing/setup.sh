chmod 750 a; chmod 700 a/b
