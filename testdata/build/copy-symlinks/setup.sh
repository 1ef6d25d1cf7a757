ln -s target links/file
ln -s sub links/dir
ln -s /outside links/abs
ln -s gone links/dangling
