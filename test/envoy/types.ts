/**
 * The cases of the differential test: a listener's configuration, and requests to it.
 *
 *   cases/*.ts ─▶ bootstrap.ts ─▶ Envoy and Wherry ─▶ answers ─▶ compared with answers.json
 */

/** Fields of Envoy's messages, in snake_case. */
export type Fields = Readonly<Record<string, unknown>>;

export interface CaseRequest {
  /** Unique in its group. */
  readonly name: string;
  readonly method?: string;
  readonly path: string;
  /** Default "example.org". */
  readonly host?: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly body?: string;
  /** Sent in chunks, instead of `body`. */
  readonly chunks?: readonly string[];
  /** Sent right behind the head, as it is. */
  readonly tunnel?: string;
}

/** One listener with one route table. */
export interface CaseGroup {
  readonly name: string;
  /** Fields of the HttpConnectionManager beside routes and filters. */
  readonly manager?: Fields;
  /** In front of the router. */
  readonly filters?: readonly Fields[];
  /** Of the RouteConfiguration, beside the virtual hosts. */
  readonly table?: Fields;
  /** Of the one virtual host for every name, unless `hosts` is there. */
  readonly host?: Fields;
  readonly routes?: readonly Fields[];
  readonly hosts?: readonly Fields[];
  readonly requests: readonly CaseRequest[];
}

/** What came of a request, in a form that two proxies can be compared by. */
export interface Answer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: string;
  /** What the upstream saw; undefined when none was asked. */
  readonly upstream?: {
    readonly name: string;
    readonly line: string;
    readonly headers: readonly string[];
    readonly body: string;
  };
  /** "FLAGS ROUTE CLUSTER" as the access log has them; without the cluster where no upstream was asked. */
  readonly log: string;
}
