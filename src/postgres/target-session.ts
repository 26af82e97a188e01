// Whether a server is what target_session_attrs asks for. Since version 14 it says so while logging in; an older one is
// asked. Source: PostgreSQL manual, "target_session_attrs"; libpq's PQconnectPoll, CONNECTION_CHECK_TARGET.

import type { Socket } from "node:net";
import { closedFailure, networkFailure, refusal } from "./connection-errors.ts";
import type { ConnectionSettings, TargetSessionAttributes } from "./connection-settings.ts";
import { MessageReader } from "./message-reader.ts";
import { BACKEND, encodeQuery } from "./messages.ts";
import { parseDataRow } from "./query-result.ts";
import { parseErrorFields } from "./server-error.ts";
import type { Transport } from "./transport.ts";

const ANSWER_SIZE_BYTES_MAX = 65_536;

/** A session that the server said is ready, not yet handed to anybody. */
export interface FreshSession {
  readonly settings: ConnectionSettings;
  readonly transport: Transport;
  readonly parameters: ReadonlyMap<string, string>;
  readonly signal: AbortSignal;
}

/** Why a server is not what is wanted; null when it is. Leaves the socket as it found it, unless it throws. */
export async function objectionTo(wanted: TargetSessionAttributes, session: FreshSession): Promise<string | null> {
  if (wanted === "any" || wanted === "prefer-standby") return null;
  const standby = session.parameters.get("in_hot_standby");
  const readOnly = session.parameters.get("default_transaction_read_only");
  const isKnown = standby !== undefined && readOnly !== undefined;
  const isOn = async (statement: string): Promise<boolean> =>
    ["on", "t"].includes((await ask(session, statement)) ?? "");
  if (wanted === "read-write" || wanted === "read-only") {
    const isReadOnly = isKnown ? standby === "on" || readOnly === "on" : await isOn("SHOW transaction_read_only");
    if (wanted === "read-write") return isReadOnly ? "the session is read-only" : null;
    return isReadOnly ? null : "the session is not read-only";
  }
  const isStandby = isKnown ? standby === "on" : await isOn("SELECT pg_catalog.pg_is_in_recovery()");
  if (wanted === "primary") return isStandby ? "the server is a standby" : null;
  return isStandby ? null : "the server is not a standby";
}

/** The first value that a statement gives. */
function ask({ settings, transport, signal }: FreshSession, statement: string): Promise<string | null> {
  const { socket, isTls } = transport;
  return new Promise((resolve, reject) => {
    const reader = new MessageReader(ANSWER_SIZE_BYTES_MAX);
    let value: string | null = null;
    const detach = (): void => {
      socket.off("data", onData).off("error", onError).off("close", onClose);
      signal.removeEventListener("abort", onAbort);
    };
    const fail = (error: unknown): void => {
      detach();
      socket.on("error", () => {}).destroy();
      reject(signal.aborted ? signal.reason : error);
    };
    const receive = (bytes: Uint8Array): void => {
      reader.push(bytes);
      for (let message = reader.next(); message !== null; message = reader.next()) {
        if (message.type === BACKEND.dataRow) value = parseDataRow(message.payload, "utf8")[0] ?? null;
        if (message.type === BACKEND.errorResponse) throw refusal(settings, parseErrorFields(message.payload), isTls);
        if (message.type !== BACKEND.readyForQuery) continue;
        detach();
        putBack(socket, reader);
        resolve(value);
        return;
      }
    };
    const onData = (bytes: Uint8Array): void => {
      try {
        receive(bytes);
      } catch (error) {
        fail(error);
      }
    };
    const onError = (error: Error): void => fail(networkFailure(settings, error));
    const onClose = (): void => fail(closedFailure(settings, "saying what it is"));
    const onAbort = (): void => fail(signal.reason);
    if (signal.aborted) return fail(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("data", onData).on("error", onError).on("close", onClose);
    socket.resume();
    socket.write(encodeQuery(Buffer.from(statement)));
  });
}

function putBack(socket: Socket, reader: MessageReader): void {
  socket.pause();
  const rest = reader.takeRest();
  if (rest.length > 0) socket.unshift(rest);
}
