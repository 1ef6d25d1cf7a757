FROM a AS Base
FROM b AS baSe2
