FROM a
ADD --keep-git-dir=true --checksum=sha256:$SUM --unpack=false --link --chown=1:2 --chmod=a+x --exclude=x https://e.org/f /d
