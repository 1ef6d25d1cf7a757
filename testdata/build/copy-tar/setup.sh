mkdir t
echo 1 >t/f
tar --sort=name --mtime=@1 --owner=0 --group=0 --numeric-owner --format=ustar --mode=644 -cf a.tar -C t f
