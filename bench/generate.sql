-- The benchmark's data: about 2 GB of COPY text at scale 100, one table of 70 %. Deterministic; one argument, :scale.
-- words: a small vocabulary, so that texts compress as prose does rather than as noise or as one repeated word.
CREATE TABLE words AS
  SELECT n, substr(md5('w' || n), 1, 3 + n % 7) AS word FROM generate_series(0, 4095) AS n;

CREATE FUNCTION sentence(seed bigint, length int) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT string_agg(word, ' ')
    FROM generate_series(1, length) AS g
    JOIN words ON n = (hashint8(seed * 31 + g) & 4095)
$$;

CREATE UNLOGGED TABLE sentences AS SELECT n, sentence(n, 6 + n % 20) AS text FROM generate_series(0, 16383) AS n;
CREATE INDEX ON sentences (n);

CREATE TABLE events (
  id bigint NOT NULL,
  happened_at timestamptz NOT NULL,
  customer_id int NOT NULL,
  kind text NOT NULL,
  amount numeric(12, 2),
  payload jsonb NOT NULL,
  note text
);
INSERT INTO events
  SELECT g,
         timestamptz '2026-01-01 00:00:00+00' + g * interval '1.37 s',
         (hashint8(g) & 524287),
         (ARRAY['view', 'click', 'cart', 'purchase', 'refund'])[1 + (hashint8(g + 7) & 1023) % 5],
         ((hashint8(g + 13) & 1048575) / 100.0)::numeric(12, 2),
         jsonb_build_object('ip', '10.' || (hashint8(g + 1) & 255) || '.' || (hashint8(g + 2) & 255) || '.' || (g & 255),
                            'session', substr(md5(g::text), 1, 16), 'ok', g % 9 <> 0, 'n', g % 97),
         CASE WHEN g % 3 = 0 THEN NULL ELSE (SELECT text FROM sentences WHERE n = (hashint8(g + 17) & 16383)) END
    FROM generate_series(1::bigint, 66000::bigint * :scale) AS g;

CREATE TABLE orders (
  id int PRIMARY KEY, customer_id int NOT NULL, placed_at timestamp NOT NULL, total numeric(10, 2) NOT NULL, address text NOT NULL
);
INSERT INTO orders
  SELECT g, (hashint4(g) & 524287), timestamp '2024-01-01' + g * interval '40 s', ((hashint4(g + 5) & 524287) / 100.0)::numeric(10, 2),
         (SELECT text FROM sentences WHERE n = (hashint4(g + 3) & 16383))
    FROM generate_series(1, 19000 * :scale) AS g;

CREATE TABLE documents (id int PRIMARY KEY, title text NOT NULL, body text NOT NULL);
INSERT INTO documents
  SELECT g, (SELECT text FROM sentences WHERE n = (g & 16383)),
         (SELECT string_agg(text || md5((g + n)::text), E'\n') FROM sentences WHERE n BETWEEN (g * 7) % 16000 AND (g * 7) % 16000 + 90)
    FROM generate_series(1, 210 * :scale) AS g;

CREATE TABLE ratings (id int PRIMARY KEY, product_id int NOT NULL, stars smallint NOT NULL, comment text);
INSERT INTO ratings
  SELECT g, hashint4(g) & 8191, 1 + (hashint4(g + 1) & 1023) % 5, (SELECT text FROM sentences WHERE n = (hashint4(g + 2) & 16383))
    FROM generate_series(1, 1700 * :scale) AS g;

CREATE INDEX events_customer ON events (customer_id);
CREATE INDEX orders_placed ON orders (placed_at);
DROP FUNCTION sentence(bigint, int);
DROP TABLE sentences;
VACUUM (FREEZE, ANALYZE);
