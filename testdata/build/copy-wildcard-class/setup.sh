touch 'a*b' axb
