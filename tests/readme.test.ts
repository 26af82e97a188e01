// The front pages hold what they say: the README's examples run as they stand, links lead somewhere, and the test
// command is the one that runs on every change.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

import { server } from "./support/servers.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const examplePattern = /<!-- run by tests\/readme\.test\.ts -->\n```sh\n([^]*?)```/g;

const shop = `
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, note text);
INSERT INTO customers SELECT n, 'customer ' || n FROM generate_series(1, 10) n;
INSERT INTO orders SELECT n, 1 + n % 10, repeat('note ', n % 20) FROM generate_series(1, 1000) n`;

async function pages(): Promise<string[]> {
  const all = await readdir(join(root, "docs"), { recursive: true });
  const documents = all.filter((name) => name.endsWith(".md")).map((name) => join("docs", name));
  return ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", ...documents];
}

test("README.md: the marked examples run as they stand", async () => {
  const text = await readFile(join(root, "README.md"), "utf8");
  const examples = [...text.matchAll(examplePattern)].map((match) => match[1] ?? "");
  expect(examples.length).toBeGreaterThanOrEqual(3);
  const pg = await server(18);
  const folder = await mkdtemp(join(tmpdir(), "cairn-readme-"));
  const oldNames = (await pg.psql("postgres", "SELECT datname FROM pg_database")).split("\n");
  expect(oldNames).not.toContain("shop");
  const newNames = async (): Promise<string[]> =>
    (await pg.psql("postgres", "SELECT datname FROM pg_database ORDER BY 1"))
      .split("\n")
      .filter((name) => /^(shop|shop_again|scratch_orders_.*)$/.test(name) && !oldNames.includes(name));
  const environment = {
    HOME: folder,
    PATH: [join(root, "bin"), dirname(pg.tools.psql), dirname(process.execPath), process.env["PATH"]].join(delimiter),
    PGHOST: pg.host,
    PGPORT: String(pg.port),
    PGUSER: pg.user,
    CAIRN_PASSPHRASE: "the passphrase of a test",
  };
  try {
    await pg.createDatabase("shop");
    await pg.psql("shop", shop);
    const outputs: string[] = [];
    for (const example of examples) {
      const options = { cwd: folder, env: environment };
      outputs.push((await promisify(execFile)("sh", ["-e", "-c", example], options)).stdout);
    }
    expect(outputs[0]).toContain("is intact");
    const [scratch, ...others] = (await newNames()).filter((name) => name.startsWith("scratch_"));
    expect(others).toEqual([]);
    expect(await pg.psql(scratch ?? "", "SELECT count(*) FROM orders")).toBe("1000");
    expect(await pg.psql(scratch ?? "", "SELECT to_regclass('customers') IS NULL")).toBe("t");
    expect(await pg.psql("shop_again", "SELECT count(*) FROM orders JOIN customers c ON c.id = customer_id")).toBe(
      "1000",
    );
    expect(outputs[2]).toContain("TABLE DATA public orders");
    expect(await readdir(folder)).toEqual(
      expect.arrayContaining(["backups", "recovery-kit.txt", "shop.dump", "shop-now.dump"]),
    );
  } finally {
    for (const name of await newNames()) await pg.dropDatabase(name);
    await rm(folder, { recursive: true });
  }
});

test("README.md: the test command is what .ci/run runs", async () => {
  const command = (await readFile(join(root, ".ci/run"), "utf8")).trimEnd().split("\n").at(-1);
  expect(command).toContain("npm test");
  expect(await readFile(join(root, "README.md"), "utf8")).toContain(`\`\`\`sh\n${command}\n\`\`\``);
});

test("README.md names every script of package.json that a user runs", async () => {
  const readme = await readFile(join(root, "README.md"), "utf8");
  for (const command of ["npm start", "npm test", "npm run ok", "npm run test:matrix", "npm run bench"]) {
    expect(readme).toContain(command);
  }
});

test("links between the pages lead somewhere", async () => {
  const broken: string[] = [];
  for (const page of await pages()) {
    const text = (await readFile(join(root, page), "utf8")).replaceAll(/```[^]*?```/g, "");
    for (const [, target = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target) || target.startsWith("#")) continue;
      const file = join(root, dirname(page), target.replace(/#.*$/, ""));
      if (!existsSync(file)) broken.push(`${page}: ${target}`);
    }
  }
  expect(broken).toEqual([]);
});

test("ARCHITECTURE.md names only files that are there, and every room", async () => {
  const text = await readFile(join(root, "ARCHITECTURE.md"), "utf8");
  const files = [...text.matchAll(/`((?:src|tests|bin|scripts)\/[\w./-]+)`/g)].map((match) => match[1] ?? "");
  expect(files.length).toBeGreaterThan(20);
  expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
  for (const room of await readdir(join(root, "src"))) expect(text, `src/${room}`).toContain(`\`${room}\``);
});
