// Databases whose bytes the server cannot turn into UTF-8.

import type { Session } from "../../postgres/index.ts";

const WITHOUT_UTF8 = new Set(["SQL_ASCII", "MULE_INTERNAL"]);

/** Has names come as they are stored where a conversion would fail; those that are no UTF-8 show replacement characters. */
export async function useOwnEncoding(session: Session): Promise<void> {
  const encoding = session.connection.parameters.get("server_encoding") ?? "";
  if (WITHOUT_UTF8.has(encoding)) await session.query(`SET client_encoding TO '${encoding}'`);
}
