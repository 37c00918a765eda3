/**
 * Texts with %OPERATORS% → templates. Pure.
 *
 *   config (access log format, header value, local reply body) ─▶ compileTemplate() ─▶ Template ─▶ render(record)
 *
 *   %OPERATOR%   %OPERATOR(argument)%   %OPERATOR(argument):length%   %%
 *
 * Invariant: an operator that is not known here is refused when the configuration is read, never printed.
 * Source: Envoy, "Access logging: Format Strings, Command Operators".
 */
import { isIPv6 } from "node:net";
import { type Operator, type FormatRecord, type Template } from "./types.ts";
import { compileTime } from "./time.ts";
import { fieldValue } from "./field.ts";
import { flagNames } from "./flags.ts";
import { forwardedAddress } from "../route/client-address.ts";
import { receivedScheme, schemeOf } from "../route/scheme.ts";

type Fail = (why: string) => Error;

const requestIdKey = "x-request-id";

/** `%NAME%`, `%NAME(argument)%`, `%NAME(argument):20%`. */
const operatorPattern = /%([A-Z0-9_]+)(?:\(([^)]*)\))?(?::(\d+))?%/y;

/** The template of `text`. `fail` makes the error for an operator that is not known. */
export function compileTemplate(text: string, fail: Fail): Template {
  const parts: (string | Operator)[] = [];
  let literal = "";
  let asksRequestId = false;
  let at = 0;
  while (at < text.length) {
    if (text[at] !== "%") {
      literal += text[at++];
      continue;
    }
    if (text[at + 1] === "%") {
      literal += "%";
      at += 2;
      continue;
    }
    operatorPattern.lastIndex = at;
    const found = operatorPattern.exec(text);
    if (found === null) throw fail(`% at ${at} starts no operator, wanted %NAME%, %NAME(argument)% or %%`);
    if (literal !== "") parts.push(literal);
    literal = "";
    if (found[1] === "REQ" && alternatives(found[2] ?? "").includes(requestIdKey)) asksRequestId = true;
    const operator = compileOperator(found[1]!, found[2], fail);
    parts.push(found[3] === undefined ? operator : truncated(operator, Number(found[3])));
    at = operatorPattern.lastIndex;
  }
  if (literal !== "" || parts.length === 0) parts.push(literal);
  return toTemplate(parts, asksRequestId);
}

function toTemplate(parts: readonly (string | Operator)[], asksRequestId: boolean): Template {
  const [first] = parts;
  const constant = parts.length === 1 && typeof first === "string" ? first : undefined;
  return {
    constant,
    parts,
    asksRequestId,
    render(record, missing) {
      if (constant !== undefined) return constant;
      let text = "";
      for (const part of parts) text += typeof part === "string" ? part : (part(record) ?? missing);
      return text;
    },
  };
}

function truncated(operator: Operator, length: number): Operator {
  return (record) => {
    const value = operator(record);
    return typeof value === "string" ? value.slice(0, length) : value;
  };
}

function compileOperator(name: string, argument: string | undefined, fail: Fail): Operator {
  const plain = Object.hasOwn(plainOperators, name) ? plainOperators[name] : undefined;
  if (plain !== undefined) {
    if (argument !== undefined) throw fail(`operator ${name} takes no argument`);
    return plain;
  }
  if (name === "START_TIME") {
    const format = compileTime(argument ?? "", fail);
    return (record) => (record.startMs === undefined ? undefined : format(record.startMs));
  }
  const make = Object.hasOwn(argumentOperators, name) ? argumentOperators[name] : undefined;
  if (make === undefined) throw fail(`operator ${name} is not supported`);
  if (argument === undefined || argument === "") throw fail(`operator ${name} wants an argument in parentheses`);
  return make(argument);
}

const argumentOperators: Readonly<Record<string, (argument: string) => Operator>> = {
  REQ: (argument) => {
    const [key, other] = alternatives(argument);
    const read = (record: FormatRecord, wanted: string): string | undefined => {
      if (wanted === ":scheme") return schemeIn(record);
      const { head, sentHead, requestId } = record;
      const value = fieldValue(sentHead ?? head, wanted);
      // One is made where there is none, or an empty one; it is not in the head.
      return wanted === requestIdKey ? value || requestId : value;
    };
    return (record) => read(record, key) ?? (other === undefined ? undefined : read(record, other));
  },
  RESP: (argument) => {
    const [key, other] = alternatives(argument);
    const read = ({ response }: FormatRecord, wanted: string): string | undefined => {
      if (response === undefined) return undefined;
      if (wanted === ":status") return String(response.status);
      const index = response.headers.keys.indexOf(wanted);
      return index < 0 ? undefined : response.headers.values[index];
    };
    return (record) => read(record, key) ?? (other === undefined ? undefined : read(record, other));
  },
  TRAILER: (argument) => {
    const [key] = alternatives(argument);
    return ({ responseTrailers }) => {
      const index = responseTrailers?.keys.indexOf(key) ?? -1;
      return index < 0 ? undefined : responseTrailers?.values[index];
    };
  },
  QUERY_PARAM: (argument) => {
    const wanted = argument;
    return ({ head }) => {
      const found = head?.query.split("&").find((part) => part === wanted || part.startsWith(`${wanted}=`));
      return found === undefined ? undefined : found.slice(wanted.length + 1);
    };
  },
};

/** `main?alternative`, lower case. */
function alternatives(argument: string): readonly [string, string | undefined] {
  const [main = "", other] = argument.toLowerCase().split("?", 2);
  return [main, other];
}

const plainOperators: Readonly<Record<string, Operator>> = {
  PROTOCOL: ({ protocol, head }) => protocol ?? head?.protocol,
  RESPONSE_CODE: ({ status }) => status,
  RESPONSE_CODE_DETAILS: ({ details }) => details,
  RESPONSE_FLAGS: ({ flag }) => flag,
  RESPONSE_FLAGS_LONG: ({ flag }) => flagNames.get(flag) ?? flag,
  BYTES_RECEIVED: ({ requestBytes }) => requestBytes,
  BYTES_SENT: ({ responseBytes }) => responseBytes,
  DURATION: ({ durationMs, elapsedMs }) => Math.floor(elapsedMs ?? durationMs),
  REQUEST_DURATION: ({ requestMs }) => whole(requestMs),
  RESPONSE_DURATION: ({ responseMs }) => whole(responseMs),
  RESPONSE_TX_DURATION: ({ responseMs, durationMs, elapsedMs }) =>
    responseMs === undefined || elapsedMs !== undefined ? undefined : Math.floor(durationMs - responseMs),
  UPSTREAM_HOST: ({ endpoint }) => endpoint && hostPort(endpoint.address, endpoint.port),
  UPSTREAM_REMOTE_ADDRESS: ({ endpoint }) => endpoint && hostPort(endpoint.address, endpoint.port),
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: ({ endpoint }) => endpoint?.address,
  UPSTREAM_REMOTE_PORT: ({ endpoint }) => endpoint?.port,
  UPSTREAM_CLUSTER: ({ cluster }) => cluster?.name,
  UPSTREAM_CLUSTER_RAW: ({ cluster }) => cluster?.name,
  UPSTREAM_LOCAL_ADDRESS: ({ upstreamLocalAddress }) => upstreamLocalAddress,
  UPSTREAM_REQUEST_ATTEMPT_COUNT: ({ attempts }) => attempts,
  UPSTREAM_TRANSPORT_FAILURE_REASON: ({ upstreamFailure }) => upstreamFailure,
  LOCAL_REPLY_BODY: ({ localReplyBody }) => localReplyBody,
  CONNECTION_TERMINATION_DETAILS: () => undefined,
  DOWNSTREAM_REMOTE_ADDRESS: (record) => {
    const { address, port } = clientOf(record);
    return hostPort(address, port);
  },
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (record) => clientOf(record).address || undefined,
  DOWNSTREAM_REMOTE_PORT: (record) => clientOf(record).port,
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: ({ connection: { remoteAddress, remotePort } }) =>
    hostPort(remoteAddress, remotePort),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: ({ connection }) => connection.remoteAddress || undefined,
  DOWNSTREAM_LOCAL_ADDRESS: ({ connection: { localAddress, localPort } }) => hostPort(localAddress, localPort),
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: ({ connection }) => connection.localAddress,
  DOWNSTREAM_LOCAL_PORT: ({ connection }) => connection.localPort,
  REQUESTED_SERVER_NAME: ({ connection }) => connection.serverName || undefined,
  CONNECTION_ID: ({ connection }) => connection.id,
  ROUTE_NAME: ({ routeName }) => routeName || undefined,
  VIRTUAL_HOST_NAME: ({ virtualHostName }) => virtualHostName || undefined,
  GRPC_STATUS_NUMBER: grpcStatus,
};

/** The downstream as far as proxies in front are believed; they tell no port, which is 0 then, as in Envoy. */
function clientOf({ connection, head, received = head }: FormatRecord): { address: string; port: number | undefined } {
  const { trust, remoteAddress, remotePort } = connection;
  const forwarded = trust && received && forwardedAddress(received.headers, trust);
  return forwarded === undefined ? { address: remoteAddress, port: remotePort } : { address: forwarded, port: 0 };
}

function schemeIn({ connection: { trust, isTLS = false }, head, received = head }: FormatRecord): string | undefined {
  if (received === undefined) return undefined;
  return trust === undefined ? schemeOf(received.headers, isTLS) : receivedScheme(received.headers, trust, isTLS);
}

function whole(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.floor(ms);
}

function grpcStatus({ responseTrailers, response }: FormatRecord): number | undefined {
  for (const headers of [responseTrailers, response?.headers]) {
    const index = headers?.keys.indexOf("grpc-status") ?? -1;
    if (index >= 0) return Number(headers!.values[index]);
  }
  return undefined;
}

function hostPort(address: string | undefined, port: number | undefined): string | undefined {
  if (address === undefined || address === "") return undefined;
  const host = isIPv6(address) ? `[${address}]` : address;
  return port === undefined ? host : `${host}:${port}`;
}
