ln h/one h/two
mkdir h/d
ln h/one h/d/three
