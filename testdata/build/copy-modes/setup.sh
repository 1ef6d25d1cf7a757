chmod 600 m/p
chmod 4755 m/s
chmod 1770 m/d
mkdir m/empty
chmod 2711 m/empty
