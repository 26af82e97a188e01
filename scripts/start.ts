// `npm start`: Cairn shown on a sample shop, from nothing to data lost and given back, with the real program. Each step
// is checked; the exit status is 1 when one is not as it should be. Everything that it makes is gone at its end.

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";

import { isOperatingError, messageOf } from "../src/base/errors.ts";
import { formatCount, formatDuration, formatSize } from "../src/base/units.ts";
import { formatVersion, startThrowawayServer } from "../src/postgres/index.ts";
import { check, findPgRestore, Narrator } from "./quickstart/narrator.ts";
import type { ListedPoint } from "./quickstart/narrator.ts";
import { areEqual, contentText, SampleShop, SHOP } from "./quickstart/sample-shop.ts";
import type { ContentSum } from "./quickstart/sample-shop.ts";

const SERVER_MAJOR = 18;
/** The second restore point may store at most this part of the first. */
const NEW_FRACTION_MAX = 0.2;
/** How backup ends when far less is there than before. */
const FAR_LESS_STATUS = 3;
const RESCUED = "rescued";

interface Tour {
  readonly narrator: Narrator;
  readonly shop: SampleShop;
  readonly folder: string;
}

const interruption = new AbortController();
let narrator: Narrator | null = null;

for (const signalName of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signalName, () => {
    const status = 128 + constants.signals[signalName];
    if (interruption.signal.aborted) process.exit(status);
    process.exitCode = status;
    console.error("interrupted, clearing away the sample server");
    interruption.abort(new Error("interrupted"));
    narrator?.endCommand(signalName);
  });
}

try {
  await main(interruption.signal);
} catch (error) {
  if (!interruption.signal.aborted) tellOfFailure(error);
}

async function main(signal: AbortSignal): Promise<void> {
  const startMs = performance.now();
  const folder = await mkdtemp(join(tmpdir(), "cairn-start-"));
  const removeNow = (): void => rmSync(folder, { recursive: true, force: true });
  process.on("exit", removeNow);
  try {
    console.log("Starting a PostgreSQL server for the sample. It is yours alone, and gone when this ends.");
    const searchPath = process.env["PATH"];
    await using server = await startThrowawayServer({ major: SERVER_MAJOR, searchPath, signal });
    const settings = {
      PGHOST: server.socketDirectory,
      PGUSER: server.settings.user,
      CAIRN_REPOSITORY: join(folder, "repository"),
      CAIRN_PASSPHRASE: randomBytes(18).toString("base64url"),
    };
    narrator = new Narrator(settings, signal);
    narrator.say(
      `PostgreSQL ${formatVersion(server.binaries.version)} listens in ${server.socketDirectory}.`,
      "Below, `cairn` is bin/cairn of this folder, and it runs with these settings:",
      "",
      `  export PGHOST=${settings.PGHOST} PGUSER=${settings.PGUSER}`,
      `  export CAIRN_REPOSITORY=${settings.CAIRN_REPOSITORY}`,
      "  export CAIRN_PASSPHRASE=… (a random one)",
    );
    await show({ narrator, shop: new SampleShop(server, signal), folder });
    narrator.say("", `All of it was as it should be, after ${formatDuration(performance.now() - startMs)}.`);
  } finally {
    await rm(folder, { recursive: true, force: true });
    process.off("exit", removeNow);
  }
}

async function show(tour: Tour): Promise<void> {
  const before = await fillShop(tour);
  const first = await backUp(tour, before.rowCount);
  await loseData(tour);
  await backUpAgain(tour, first);
  await restoreAside(tour, first, before.orderLines);
  await putBack(tour, first, before.orderLines);
  await writeArchive(tour, first);
  await verifyAll(tour);
  tellOfOwnDatabase(tour.narrator);
}

async function fillShop({ narrator, shop }: Tour): Promise<{ rowCount: number; orderLines: ContentSum }> {
  narrator.step(
    "A database to protect",
    "A small shop: customers, products, orders with JSON and an enum, order lines, page views in partitions,",
    "a view, functions, a trigger, sequences, and a scanned catalogue as a large object.",
  );
  const rowCount = await shop.load();
  check(rowCount > 400_000, `the sample database has ${rowCount} rows`);
  const orderLines = await shop.contentSum(SHOP, "order_lines");
  narrator.say(
    "",
    `Database "${SHOP}" holds ${formatCount(rowCount)} rows.`,
    `order_lines: ${contentText(orderLines)}`,
  );
  return { rowCount, orderLines };
}

async function backUp({ narrator, folder }: Tour, rowCount: number): Promise<ListedPoint> {
  narrator.step(
    "A repository, and the first backup",
    "A repository is a folder. It is encrypted; the recovery kit opens it when the passphrase is forgotten.",
  );
  await narrator.cairn("init", "--recovery-kit", join(folder, "recovery-kit.txt"));
  narrator.say("", "Would a backup of the shop be complete? Nothing is written yet.");
  await narrator.cairn("doctor", SHOP);
  narrator.say("", "It would. A pg_dump comes with Cairn; an installed one of the server's major goes before it.");
  await narrator.cairn("backup", SHOP);
  const points = await narrator.restorePoints();
  const [first] = points;
  check(points.length === 1 && first !== undefined, "the repository does not list one restore point");
  check(first?.rowCount === rowCount, `the restore point has ${first?.rowCount} rows, the database ${rowCount}`);
  return first as ListedPoint;
}

async function loseData({ narrator, shop }: Tour): Promise<void> {
  narrator.step("Life goes on, and then somebody forgets a WHERE");
  const update = "UPDATE orders SET status = 'shipped' WHERE id > 99000";
  const remove = "DELETE FROM order_lines";
  for (const [sql, rowCount] of [
    [update, 1000],
    [remove, 250_000],
  ] as const) {
    const result = await shop.run(SHOP, sql);
    narrator.say(`${SHOP}=> ${sql};`, `-- ${formatCount(result.rowCount ?? 0)} rows`);
    check(result.rowCount === rowCount, `"${sql}" changed ${result.rowCount} rows, not ${rowCount}`);
  }
  const { value } = await shop.run(SHOP, "SELECT count(*) FROM best_sellers");
  narrator.say(`The view best_sellers shows ${value} products now.`);
  check(value === "0", `the view best_sellers shows ${value} products`);
}

async function backUpAgain({ narrator }: Tour, first: ListedPoint): Promise<void> {
  narrator.step(
    "The next backup comes as planned, after the accident",
    "It stores only what is new. What was there before stays where it is: restore points never change.",
  );
  await narrator.cairnEndingWith(FAR_LESS_STATUS, "backup", SHOP);
  narrator.say(
    "",
    `It is taken, and whole. But it noticed the loss: exit status ${FAR_LESS_STATUS} has a job call a person.`,
  );
  await narrator.cairn("list");
  const [second, ...others] = await narrator.restorePoints();
  check(others.length === 1 && others[0]?.id === first.id, "the first restore point is not listed any more");
  const newBytes = second?.newBytes ?? Number.POSITIVE_INFINITY;
  const percent = ((100 * newBytes) / first.newBytes).toFixed(1);
  narrator.say("", `The second backup stored ${formatSize(newBytes)}, ${percent} % of the first.`);
  check(newBytes <= NEW_FRACTION_MAX * first.newBytes, `the second backup stored ${newBytes} bytes`);
}

async function restoreAside({ narrator, shop }: Tour, first: ListedPoint, expected: ContentSum): Promise<void> {
  narrator.step(
    "One table comes back, into a database of its own",
    "Nothing that exists is touched. You look first, and take what you need.",
  );
  await narrator.cairn("restore", first.id, "--to", SHOP, "-t", "order_lines", `--scratch=${RESCUED}`);
  compare(narrator, `${RESCUED}.order_lines`, await shop.contentSum(RESCUED, "order_lines"), expected);
}

async function putBack({ narrator, shop }: Tour, first: ListedPoint, expected: ContentSum): Promise<void> {
  narrator.step(
    "The rows go back into the shop",
    "Every row is missing there, so all of them are loaded into the table as it stands, in one transaction.",
    `(If only some were: psql -d ${RESCUED} -c "\\copy (SELECT …) TO STDOUT" | psql -d ${SHOP} -c "\\copy … FROM STDIN")`,
  );
  await narrator.cairn("restore", first.id, "--to", SHOP, "-t", "order_lines", "--data-only", "--in-place");
  compare(narrator, `${SHOP}.order_lines`, await shop.contentSum(SHOP, "order_lines"), expected);
  const { value } = await shop.run(SHOP, "SELECT count(*) FROM orders WHERE id > 99000 AND status = 'shipped'");
  narrator.say(`The ${formatCount(Number(value))} orders shipped since then are still shipped.`);
  check(value === "1000", `${value} orders are shipped`);
  narrator.say("", `${SHOP}=> DROP DATABASE ${RESCUED};`);
  await shop.run(SHOP, `DROP DATABASE ${RESCUED}`);
}

function compare(narrator: Narrator, name: string, found: ContentSum, expected: ContentSum): void {
  const width = Math.max(name.length, "before the accident".length);
  narrator.say("", `${"before the accident".padEnd(width)}  ${contentText(expected)}`);
  narrator.say(`${name.padEnd(width)}  ${contentText(found)}`);
  check(areEqual(found, expected), `${name} is not what it was`);
  narrator.say("Equal.");
}

async function writeArchive({ narrator, folder }: Tour, first: ListedPoint): Promise<void> {
  narrator.step(
    "No lock-in: the same restore point as an archive of PostgreSQL's own",
    "The stock pg_restore lists and restores it.",
  );
  const file = join(folder, "shop.dump");
  await narrator.cairn("export", first.id, "--file", file);
  const pgRestore = findPgRestore();
  if (pgRestore === null) {
    narrator.say("", "(No pg_restore 17 or newer is installed here, so it is not shown listing the archive.)");
    return;
  }
  const list = await narrator.listArchive(pgRestore, file);
  check(/ TABLE DATA public order_lines /.test(list), "pg_restore does not list the rows of order_lines");
}

async function verifyAll({ narrator }: Tour): Promise<void> {
  narrator.step("Proof: every byte is read back and authenticated");
  for (const { id } of await narrator.restorePoints()) await narrator.cairn("verify", id);
  for (const { id, isDamaged, verifiedAt } of await narrator.restorePoints()) {
    check(!isDamaged && verifiedAt !== null, `restore point ${id} is not listed as verified`);
  }
}

function tellOfOwnDatabase(narrator: Narrator): void {
  narrator.step(
    "With your own database",
    "PostgreSQL 13 to 18. From this folder; see README.md for installing the command `cairn`.",
    "",
    `  export PATH="$PWD/bin:$PATH"`,
    "  export CAIRN_REPOSITORY=/var/backups/cairn",
    "  cairn init                                             # asks for a passphrase, shows the recovery kit",
    "  cairn doctor postgresql://USER@HOST/DATABASE           # what would be missing, with the cure",
    "  cairn backup postgresql://USER@HOST/DATABASE",
    "  cairn list",
    "  cairn restore latest --to postgresql://USER@HOST/postgres -t TABLE",
    "  cairn verify latest",
    "",
    "  For cron: CAIRN_PASSPHRASE, or --passphrase-file with a file that only you may read. Passwords of the server:",
    "  ~/.pgpass or PGPASSFILE, as with psql.",
  );
}

function tellOfFailure(error: unknown): void {
  console.error(`\nnpm start failed: ${messageOf(error)}`);
  if (isOperatingError(error) && error.detail !== undefined) console.error(`DETAIL:  ${error.detail}`);
  if (isOperatingError(error) && error.hint !== undefined) console.error(`HINT:  ${error.hint}`);
  process.exitCode = 1;
}
