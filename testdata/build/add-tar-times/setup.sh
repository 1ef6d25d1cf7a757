python3 - <<"E"
import io, tarfile
def add(t, name, data=None, **more):
    i = tarfile.TarInfo(name)
    i.mtime = 1000000000
    for key, value in more.items():
        setattr(i, key, value)
    i.size = len(data or b"")
    t.addfile(i, io.BytesIO(data or b""))
with tarfile.open("a.tar", "w", format=tarfile.PAX_FORMAT) as t:
    add(t, "s", type=tarfile.DIRTYPE, mode=0o755)
    add(t, "s/f", b"1", mtime=900000000)
E
