chmod 755 d; chmod 644 d/f; touch -d @1000000000 d/f d
