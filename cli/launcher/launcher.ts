/**
 * The launcher: makes the private cluster, runs its processes, remembers what they must not lose.
 *
 *   namespaces ─▶ fabric ─▶ control ─▶ (ready) ─▶ agents and sidecar hosts, one each a node
 *
 * Invariant: it holds no state of the cluster but descriptors and sidecar tables; everything ends with it.
 */
import { mkdirSync, openSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { bindUDP, localAddress } from "#lib/linux.ts";
import { startTicksOf } from "#lib/process.ts";
import type { HostPort, HostPortOutcome } from "#api/wire/host-port.ts";
import type { ImageMapEntry } from "#api/wire/image.ts";
import type { TracingConfig } from "../../sidecar/tracing-config.ts";
import { CliError } from "../errors.ts";
import {
  type AgentConfig,
  type ControlConfig,
  type PublishedPort,
  type SidecarHostConfig,
  type ToLauncher,
  upstreamSocketName,
  upstreamSockets,
} from "../ipc.ts";
import { Egress } from "./egress.ts";
import type { EgressPolicy } from "./egress-policy.ts";
import { HostPorts } from "./host-ports.ts";
import { planFabric } from "./fabric.ts";
import { readLastError } from "./last-error.ts";
import { type Namespaces, createNamespaces, endsWithParent, enterCommand, runInside } from "./namespaces.ts";
import type { Timing } from "../timing.ts";
import { findClusterGroups, removeGroups } from "../../kubelet/cgroups.ts";
import { hostAddresses } from "./host-addresses.ts";
import { writeProcessStates } from "./process-states.ts";
import { bindHost, formatListening, formatTarget, publishedSocketName } from "./publish.ts";
import { SidecarRelay } from "./sidecar-relay.ts";
import { type LauncherRecord, bootTimeMs, claim, release, removeRecord, writeRecord } from "./state-dir.ts";
import { Supervisor } from "./supervisor.ts";

export interface LauncherConfig {
  readonly cluster: string;
  readonly stateDir: string;
  /** Nodes of the cluster, 1 to 250. */
  readonly nodes: number;
  readonly published: readonly PublishedPort[];
  readonly images: readonly ImageMapEntry[];
  readonly timing: Timing;
  readonly egress: EgressPolicy;
  /** Absent: nothing is traced. */
  readonly tracing?: TracingConfig | undefined;
  /** `ADDR:PORT` of the resolvers for outside names. */
  readonly upstreams: readonly string[];
  /** The flags that were given: flag → value, as JSON. Of no meaning here but for who asks what runs. */
  readonly flags: Readonly<Record<string, string>>;
}

/** Processes that carry no traffic: collecting more often costs them nothing, and saves 10 to 20 MB each. */
const smallYoungGeneration = ["--max-semi-space-size=2"];

/** Longest time for a process to be ready for the first time, in ms, restarts included. */
const readyMaxMs = 20_000;

interface NodeProcesses {
  readonly agent: Supervisor<AgentConfig>;
  readonly sidecarHost: Supervisor<SidecarHostConfig>;
}

export class Launcher {
  readonly #config: LauncherConfig;
  readonly #clock: Clock;
  readonly #log: Logger;
  #namespaces: Namespaces | undefined;
  #hasClaim = false;
  #control: Supervisor<ControlConfig> | undefined;
  /** With the ports that the system chose. */
  #published: readonly PublishedPort[] = [];
  readonly #nodes: NodeProcesses[] = [];
  readonly #hostPorts = new HostPorts(
    (socket, to) => this.#handIn(socket, to),
    () => this.#published,
  );
  #lastNode = 0;

  constructor(config: LauncherConfig, clock: Clock, log: Logger) {
    this.#config = config;
    this.#clock = clock;
    this.#log = log;
  }

  /** Starts everything; resolves with the record once the API server and every node agent are ready. */
  async start(): Promise<LauncherRecord> {
    const { published, nodes, stateDir } = this.#config;
    claim(stateDir);
    this.#hasClaim = true;
    // Ports first: when one is taken, nothing else was made.
    const apiFd = bindHost("127.0.0.1", 0, "the API");
    const sockets = published.map((port) => {
      const fd = bindHost(port.hostAddress, port.hostPort, formatTarget(port));
      return { port: { ...port, hostPort: localAddress(fd).port }, fd };
    });
    this.#published = sockets.map(({ port }) => port);
    const namespaces = await createNamespaces(this.#env());
    this.#namespaces = namespaces;
    runInside(namespaces.initPid, planFabric(nodes));
    const record = this.#record(namespaces.initPid, formatListening(apiFd));
    writeRecord(stateDir, record);

    await this.#startControl(apiFd, record.apiAddress);
    const ready = Array.from({ length: nodes }, (_, at) => this.#startNode(at + 1, sockets));
    await Promise.all(ready);
    return record;
  }

  /** Resolves when the cluster's init ended by itself. */
  get ended(): Promise<void> {
    return this.#namespaces?.ended ?? Promise.resolve();
  }

  /** Ends every process of the cluster at once; the kernel takes the namespaces with them. */
  async stop(): Promise<void> {
    if (this.#hasClaim) {
      removeRecord(this.#config.stateDir);
      release(this.#config.stateDir);
    }
    const ended = this.#all().map((process) => process.stop());
    this.#namespaces?.stop();
    await this.#namespaces?.ended;
    // What is not reaped would hold the namespaces until somebody else reaps it.
    await Promise.all(ended);
    // What is in use still, by somebody else's shell, goes with the next start.
    removeGroups(findClusterGroups(this.#config.cluster, ["self"]));
  }

  #all(): Pick<Supervisor<unknown>, "stop" | "status">[] {
    const nodes = this.#nodes.flatMap(({ agent, sidecarHost }) => [agent, sidecarHost]);
    return this.#control === undefined ? nodes : [this.#control, ...nodes];
  }

  /** Tells those outside how the processes are. Not being able to is no reason to end: the disk may be full. */
  #writeStates(): void {
    try {
      writeProcessStates(
        this.#config.stateDir,
        this.#all().map(({ status }) => status),
      );
    } catch (error) {
      this.#log.warn("Cannot write process states", { error: messageOf(error) });
    }
  }

  #env(): NodeJS.ProcessEnv {
    return { ...process.env, WHERRY_CLUSTER: this.#config.cluster, NODE_OPTIONS: "" };
  }

  #record(initPid: number, apiAddress: string): LauncherRecord {
    const { nodes, egress, flags } = this.#config;
    const published = this.#published;
    const startTicks = startTicksOf(process.pid) ?? "";
    const bootMs = bootTimeMs(this.#clock.nowMs());
    return { pid: process.pid, startTicks, initPid, nodes, apiAddress, published, egress, flags, bootMs };
  }

  async #startControl(apiFd: number, apiAddress: string): Promise<void> {
    const { cluster, stateDir, nodes, timing } = this.#config;
    const ready = this.#gate("control");
    this.#control = this.#supervise<ControlConfig>({
      name: "control",
      netns: "control",
      program: "control.ts",
      config: { cluster, stateDir, apiAddress, nodes, timing },
      onMessage: (message) => {
        if (message.kind !== "hostPorts") return ready.receive(message);
        const answer = (outcomes: readonly HostPortOutcome[]): void =>
          this.#control?.send({ kind: "hostPortsDone", id: message.id, outcomes });
        void this.#hostPorts.apply(message.ports).then(answer);
      },
    });
    this.#control.descriptors.keep("api-host", apiFd);
    this.#control.start();
    await ready.opened;
  }

  async #startNode(index: number, sockets: readonly { port: PublishedPort; fd: number }[]): Promise<void> {
    const { cluster, stateDir, images, timing, upstreams } = this.#config;
    const published = this.#published;
    const nodeName = `node${index}`;
    const ready = this.#gate(`agent-${nodeName}`);
    const relay = new SidecarRelay(this.#log);
    const egress = new Egress({
      policy: this.#config.egress,
      upstreams,
      clock: this.#clock,
      hostAddresses,
      answer: (message, socket) => agent.send(message, socket),
    });
    const sidecarHost = this.#supervise<SidecarHostConfig>({
      name: `sidecars-${nodeName}`,
      netns: nodeName,
      program: "sidecar-host.ts",
      config: { cluster, nodeName, nodeIndex: index, published, tracing: this.#config.tracing },
      onMessage: (message) => relay.fromHost(message),
      beforeStart: () => relay.hostStarts(),
      onStart: () => relay.hostStarted(),
    });
    const agent = this.#supervise<AgentConfig>({
      name: `agent-${nodeName}`,
      netns: nodeName,
      program: "agent.ts",
      config: { cluster, stateDir, nodeName, nodeIndex: index, images, published, timing, dnsUpstreams: upstreams },
      onMessage: (message) => {
        if (message.kind === "egressConnect") return egress.request(message);
        if (message.kind === "egressCancel") return egress.cancel(message);
        ready.receive(message);
        relay.fromAgent(message);
      },
      onStart: () => (egress.agentStarted(), relay.agentStarted()),
    });
    relay.connect(agent, sidecarHost);
    for (const { port, fd } of sockets) sidecarHost.descriptors.keep(publishedSocketName(port.hostPort), fd);
    for (let at = 0; at < upstreamSockets; at += 1)
      agent.descriptors.keep(upstreamSocketName(at), bindUDP({ address: "0.0.0.0", port: 0 }));
    this.#nodes.push({ agent, sidecarHost });
    sidecarHost.start();
    agent.start();
    await ready.opened;
  }

  /** Gives a connection of the host to the next node that is ready. */
  #handIn(socket: Socket, { address, port }: HostPort): void {
    const ready = this.#nodes.filter(({ agent }) => agent.isReady);
    this.#lastNode += 1;
    const node = ready[this.#lastNode % Math.max(1, ready.length)];
    if (node === undefined) return void socket.destroy();
    node.agent.send({ kind: "hostConnection", address, port }, socket);
  }

  /** `name` is that of the process and of its log. Opens with the first `ready`; fails with a `fatal` before it, and when it does not come in time. */
  #gate(name: string): { opened: Promise<void>; receive: (message: ToLauncher) => void } {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const seconds = readyMaxMs / 1000;
    const logs = join(this.#config.stateDir, "logs");
    const timer = this.#clock.after(readyMaxMs, () => {
      const cause = readLastError(join(logs, `${name}.log`));
      const why = cause === undefined ? "" : `: ${cause}`;
      reject(new CliError("Failed", `Cannot start ${name}: not ready within ${seconds} s${why} (see: ${logs})`));
    });
    void promise.then(
      () => timer.cancel(),
      () => timer.cancel(),
    );
    const receive = (message: ToLauncher): void => {
      if (message.kind === "ready") resolve();
      if (message.kind === "fatal") reject(new CliError("Failed", message.message));
    };
    void this.#namespaces?.ended.then(() => reject(new CliError("Failed", `Cannot start ${name}: the cluster ended`)));
    return { opened: promise, receive };
  }

  #supervise<Config>(options: {
    name: string;
    netns: string;
    program: string;
    config: Config;
    onMessage: (message: ToLauncher) => void;
    beforeStart?: () => void;
    onStart?: () => void;
  }): Supervisor<Config> {
    const { name, netns, program, config, onMessage, beforeStart, onStart } = options;
    const script = join(import.meta.dirname, "..", program);
    const memory = program === "sidecar-host.ts" ? [] : smallYoungGeneration;
    const node = [...endsWithParent, process.execPath, ...memory, "--disable-warning=ExperimentalWarning", script];
    const logs = join(this.#config.stateDir, "logs");
    mkdirSync(logs, { recursive: true, mode: 0o700 });
    return new Supervisor({
      name,
      command: enterCommand(this.#namespaces?.initPid ?? 0, netns, node),
      env: this.#env(),
      config,
      logFd: openSync(join(logs, `${name}.log`), "a", 0o600),
      clock: this.#clock,
      log: this.#log,
      onMessage,
      onChange: () => this.#writeStates(),
      ...(beforeStart === undefined ? {} : { beforeStart }),
      ...(onStart === undefined ? {} : { onStart }),
    });
  }
}
