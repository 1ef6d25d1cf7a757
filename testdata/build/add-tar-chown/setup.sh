mkdir -p t/d
echo f >t/f
echo g >t/d/g
ln -s f t/l
ln t/f t/h
chmod 600 t/f
chmod 750 t/d
tar --sort=name --mtime=@1000000000 --owner=11 --group=12 --numeric-owner -cf a.tar -C t .
mkdir -p u/p/q
echo h >u/p/q/h
tar --mtime=@1000000000 --owner=11 --group=12 --numeric-owner -rf a.tar -C u p/q/h
