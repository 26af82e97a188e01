// The sample database of `npm start` on a server for a while: filling it, harming it, and looking at what is in it.

import { readFile } from "node:fs/promises";
import { formatCount } from "../../src/base/units.ts";
import { openSession } from "../../src/postgres/index.ts";
import type { ThrowawayServer } from "../../src/postgres/index.ts";

const script = new URL("shop.sql", import.meta.url);
const rootTables = ["customers", "products", "orders", "order_lines", "page_views"];

/** Name of the sample database. */
export const SHOP = "shop";

/** What a table holds: its rows, and a sum of hashes of them that does not depend on their order. */
export interface ContentSum {
  readonly rowCount: number;
  readonly hashSum: string;
}

/** The sample database. */
export class SampleShop {
  readonly #server: ThrowawayServer;
  readonly #signal: AbortSignal;

  constructor(server: ThrowawayServer, signal: AbortSignal) {
    this.#server = server;
    this.#signal = signal;
  }

  /** Makes and fills it; how many rows it holds. */
  async load(): Promise<number> {
    await this.run("postgres", `CREATE DATABASE ${SHOP}`);
    await this.run(SHOP, await readFile(script, "utf8"));
    const counts = rootTables.map((table) => `(SELECT count(*) FROM ${table})`);
    return Number((await this.run(SHOP, `SELECT ${counts.join(" + ")}`)).value);
  }

  /** Runs statements in a database of the server. */
  async run(
    database: string,
    sql: string,
  ): Promise<{ readonly value: string | null; readonly rowCount: number | null }> {
    const settings = { ...this.#server.settings, database };
    await using session = await openSession(settings, { signal: this.#signal, applicationName: "npm start" });
    return await session.query(sql, { signal: this.#signal });
  }

  /** The content of a table of a database of the server. */
  async contentSum(database: string, table: string): Promise<ContentSum> {
    const hashSum = "coalesce(sum((hashtextextended(t::text, 0) & 9223372036854775807)::numeric), 0)";
    const { value } = await this.run(database, `SELECT count(*) || ' ' || ${hashSum} FROM ${table} AS t`);
    const [rowCount, sum] = (value ?? "").split(" ");
    return { rowCount: Number(rowCount), hashSum: sum ?? "" };
  }
}

/** A content sum as it is shown. */
export function contentText({ rowCount, hashSum }: ContentSum): string {
  return `${formatCount(rowCount)} rows, content sum ${hashSum}`;
}

/** True when both have the same rows. */
export function areEqual(one: ContentSum, other: ContentSum): boolean {
  return one.rowCount === other.rowCount && one.hashSum === other.hashSum;
}
