// What the databases hold that the storages' end-to-end tests back up.

/** SQL that makes a small table, and one of random text, which does not compress: its packs have several pieces. */
export const ORDERS_AND_FILES = `
CREATE TABLE orders (id int PRIMARY KEY, note text);
INSERT INTO orders SELECT n, md5(n::text) FROM generate_series(1, 20000) n;
CREATE TABLE files (id int PRIMARY KEY REFERENCES orders, content text);
ALTER TABLE files ALTER content SET STORAGE EXTERNAL;
INSERT INTO files SELECT n, (SELECT string_agg(encode(sha512((random()::text || n || m)::bytea), 'base64'), '') FROM generate_series(1, 150) m)
FROM generate_series(1, 1000) n;
`;
