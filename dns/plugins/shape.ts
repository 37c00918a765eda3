/**
 * Plugins that change how an answer looks, and those that only configure: minimal, any, nsid, bufsize, bind, tls.
 *
 *   Answer ─▶ Answer
 *
 * Follows: the CoreDNS plugins of these names.
 */
import { toBytes } from "../address.ts";
import { type Answer, authoritative, recordsOf, withRecords } from "../answer.ts";
import { complain, type Directive, noArgs, numberOf, oneArg, onlyOptions } from "../corefile/directive.ts";
import type { Handler, Plugin, PluginKind, Request } from "../plugin.ts";
import { types } from "../wire/constants.ts";
import { hinfoRecord } from "../wire/data.ts";

/** Applies `change` to what `next` answers, at once or later. */
export function mapAnswer(next: Handler, change: (request: Request, answer: Answer) => Answer): Handler {
  return (request) => {
    const outcome = next(request);
    return outcome instanceof Promise ? outcome.then((answer) => change(request, answer)) : change(request, outcome);
  };
}

/** The plugin `minimal`: no more than the downstream needs. */
export const minimal: PluginKind = {
  name: "minimal",
  setup([directive]) {
    if (directive !== undefined) noArgs(directive);
    return {
      name: "minimal",
      repeat: () => ({}),
      wrap: (next) =>
        mapAnswer(next, (request, answer) => {
          const [answers, authorities, additionals] = answer.sections.counts;
          if (answers === 0 || authorities + additionals === 0) return answer;
          return withRecords(request.query, answer, { answer: recordsOf(request.query, answer).answer });
        }),
    } satisfies Plugin;
  },
};

/** The plugin `any`: HINFO for ANY (RFC 8482 §4.2). */
export const any: PluginKind = {
  name: "any",
  setup([directive]) {
    if (directive !== undefined) noArgs(directive);
    return {
      name: "any",
      repeat: () => ({}),
      wrap: (next) => (request) => {
        const { name, type } = request.query;
        if (type !== types.any) return next(request);
        return authoritative("any", name, {
          answer: [hinfoRecord({ name, ttl: 8482 }, "ANY obsoleted", "See RFC 8482")],
        });
      },
    } satisfies Plugin;
  },
};

const nsidOption = 3;

/** The plugin `nsid [DATA]`: which server this is, for those who ask (RFC 5001). */
export const nsid: PluginKind = {
  name: "nsid",
  setup([directive], _site, { environmentVariable }) {
    const text = directive === undefined || directive.args.length === 0 ? "" : directive.args.join(" ");
    const data = Buffer.from(text === "" ? (environmentVariable("HOSTNAME") ?? "localhost") : text, "utf8");
    const option = Buffer.concat([Buffer.from([0, nsidOption, data.length >> 8, data.length & 255]), data]);
    return {
      name: "nsid",
      // Only queries with its option get more.
      repeat: () => ({}),
      wrap: (next) =>
        mapAnswer(next, ({ query }, answer) =>
          hasOption(query.options, nsidOption) ? { ...answer, options: option } : answer,
        ),
    } satisfies Plugin;
  },
};

function hasOption(options: Uint8Array | undefined, wanted: number): boolean {
  if (options === undefined) return false;
  for (let at = 0; at + 4 <= options.length;) {
    if ((((options[at] ?? 0) << 8) | (options[at + 1] ?? 0)) === wanted) return true;
    at += 4 + (((options[at + 2] ?? 0) << 8) | (options[at + 3] ?? 0));
  }
  return false;
}

/** The plugin `bufsize [SIZE]`. */
export const bufsize: PluginKind = {
  name: "bufsize",
  setup([directive]) {
    if (directive === undefined) throw new TypeError("bufsize needs a directive");
    const [size = "1232"] = directive.args;
    return { name: "bufsize", payloadBytesMax: numberOf(directive, size, { min: 512, max: 4096 }) };
  },
};

/** The plugin `bind ADDRESS|INTERFACE… { except ADDRESS|INTERFACE… }`: interfaces as they are now. */
export const bind: PluginKind = {
  name: "bind",
  setup(directives, _site, { interfaceAddresses }) {
    const read = (directive: Directive): readonly string[] => {
      if (directive.args.length === 0) complain(directive, "nothing, wanted addresses or names of interfaces");
      return directive.args.flatMap((text) => {
        if (toBytes(text) !== undefined) return text;
        const found = interfaceAddresses?.(text) ?? [];
        return found.length > 0
          ? found
          : complain(directive, `"${text}", wanted an address or an interface that is up`);
      });
    };
    const addresses = directives.flatMap((directive) => {
      const excepted = new Set(onlyOptions(directive, ["except"]).flatMap(read));
      const left = read(directive).filter((address) => !excepted.has(address));
      return left.length > 0 ? left : complain(directive, "no address that is not excepted, wanted one");
    });
    return { name: "bind", bindAddresses: [...new Set(addresses)] };
  },
};

/** The plugin `tls CERT KEY [CA] { client_auth … }`. */
export const tls: PluginKind = {
  name: "tls",
  setup([directive], _site, { readFile }) {
    if (directive === undefined) throw new TypeError("tls needs a directive");
    const [cert, key, ca] = directive.args;
    if (cert === undefined || key === undefined) complain(directive, "wanted CERT KEY [CA]");
    const [auth] = onlyOptions(directive, ["client_auth"]);
    const mode = auth === undefined ? "nocert" : oneArg(auth, "nocert or require_and_verify");
    if (mode !== "nocert" && mode !== "require_and_verify")
      complain(directive, `client_auth "${mode}", wanted nocert or require_and_verify`);
    const read = (path: string): string => {
      try {
        return readFile(path);
      } catch {
        return complain(directive, `cannot read ${path}, wanted a PEM file`);
      }
    };
    return {
      name: "tls",
      certificate: {
        cert: read(cert),
        key: read(key),
        ...(ca === undefined ? {} : { ca: read(ca) }),
        requestCert: mode === "require_and_verify",
      },
    };
  },
};
