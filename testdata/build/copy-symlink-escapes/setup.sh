ln -s ../../../../../../etc/hostname-of-nobody out
