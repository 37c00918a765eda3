/**
 * ProcessRuntime, pod networks and probes on the real kernel. Run by namespaces.test.ts, inside its namespaces.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Container } from "#api/core/pod.ts";
import type { Probe } from "#api/core/probe.ts";
import { realClock } from "#lib/clock.ts";
import { netnsPath, planPodNetwork, removePodNetwork } from "../../../kubelet/pod-network.ts";
import { readStamps } from "../../../kubelet/logs/stamper.ts";
import { createProber } from "../../../kubelet/probes/prober.ts";
import { dirs, ended, kill, logOf, newRuntime, run, runtime, says, shell, start } from "./containers.ts";
import "./isolation.ts";

const pods = [
  { podUid: "one", podIP: "10.244.1.2" },
  { podUid: "two", podIP: "10.244.1.3" },
];

const listRoot = async (): Promise<string> => (await run("ls /")).output;

before(() => {
  for (const dir of ["/run/netns", "/run/wherry/shared"]) mkdirSync(dir, { recursive: true });
  writeFileSync("/proc/sys/net/ipv4/ip_forward", "1");
  for (const pod of pods) shell(planPodNetwork({ ...pod, gatewayIP: "10.244.1.1", injected: pod.podUid === "two" }));
});

after(() => {
  for (const pod of pods) shell(removePodNetwork(pod));
  assert.deepEqual(readdirSync("/run/netns"), []);
  const links = shell("ip -o link show").trim().split("\n");
  assert.deepEqual(links.length, 1, `only lo is left: ${links.join()}`);
});

describe("ProcessRuntime", () => {
  it("gives a container a root, a working folder, a host name and DNS of its own", async () => {
    const { exitCode, output } = await run("pwd; hostname; cat /etc/resolv.conf; ls /; echo $GREETING");
    assert.equal(exitCode, 0, output);
    const wanted = ["/work", "web-1", "nameserver 10.96.0.10", "search shop.svc.cluster.local", "data", "hello"];
    for (const text of wanted) assert.ok(output.includes(text), `${text} in ${output}`);
    assert.ok(!output.includes("old\n"), "the host's root is out of reach");
  });

  it("shows a container its own processes and files only", async () => {
    const { output } = await run("ls -d /proc/[0-9]* | wc -l; ls /run; touch /usr/x 2>&1; cat /proc/1/comm");
    assert.match(output, /^[234]\n/);
    assert.match(output, /Read-only file system/);
    assert.ok(!output.includes("wherry"));
  });

  for (const command of [
    "nft list ruleset",
    "mount -t tmpfs none /tmp",
    "umount /proc",
    "ip link add d0 type dummy",
    "ip addr add 10.0.0.1/8 dev lo",
    "unshare --net true",
    "nsenter --net=/proc/1/ns/net true",
    "chroot /tmp true",
    "mknod /tmp/null c 1 3",
    "echo 1 >/proc/sys/net/ipv4/ip_forward",
    "hostname other",
  ]) {
    it(`does not let a container run: ${command}`, async () => {
      const { exitCode, output } = await run(command);
      assert.notEqual(exitCode, 0);
      assert.match(output, /not permitted|denied|Read-only|cannot|must be (root|superuser)|I\/O error|failed/i);
    });
  }

  it("tells the exit code, and the signal of a program that was killed", async () => {
    assert.equal((await run("exit 3")).exitCode, 3);
    assert.equal((await run("kill -9 $$")).exitCode, 137);
    assert.equal((await run("exec /none")).exitCode, 127);
  });

  it("passes TERM to the program, which decides", async () => {
    const container = await start(["sh", "-c", "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done"]);
    await says(container, "up");
    runtime.signal(container, "SIGTERM");
    assert.equal((await ended(container)).exitCode, 5);
    assert.match(logOf(container), /bye/);
  });

  it("ends a container that is told to before it is up", async () => {
    for (const delayMs of [0, 5, 15, 30, 60]) {
      const container = await start(["sleep", "60"]);
      await realClock.sleep(delayMs);
      const startedMs = realClock.monotonicMs();
      runtime.signal(container, "SIGTERM");
      const { exitCode } = await ended(container);
      assert.ok(exitCode > 128, `exit code ${exitCode}`);
      assert.ok(realClock.monotonicMs() - startedMs < 10_000, "TERM was not lost");
    }
  });

  it("ends every process of a container by KILL", async () => {
    const container = await start(["sh", "-c", "(trap '' TERM HUP; setsid sleep 4711) & echo up; wait"]);
    await says(container, "up");
    assert.equal((await kill(container)).exitCode, 137);
    assert.equal(logOf(container), "up\n");
    assert.ok(!shell("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '").includes("sleep 4711"));
  });

  it("sees the end of a container whose outer shell was killed", async () => {
    const container = await start(["sh", "-c", "echo up; sleep 60"]);
    await says(container, "up");
    const file = `${dirs.containerDir(container.podUid, container.name)}/state.json`;
    const { pid } = JSON.parse(readFileSync(file, "utf8")) as { pid: number };
    process.kill(pid, "SIGKILL");
    assert.equal((await ended(container)).exitCode, 137);
  });

  for (const [moment, hook] of [
    ["before its record is on disk", "nowMs"],
    ["after that", "end"],
  ]) {
    it(`starts nothing when the kubelet is killed ${moment}`, async () => {
      const name = `killed-${hook}`;
      const kubelet = spawnSync(process.execPath, [join(import.meta.dirname, "killed-kubelet.ts"), name, `${hook}`]);
      assert.equal(kubelet.signal, "SIGKILL", String(kubelet.stderr));
      const dir = dirs.containerDir("two", name);
      // The shell that waited for the word is the only process that has the folder among its arguments.
      const waits = (): boolean => shell("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '").includes(dir);
      for (let tries = 0; waits(); tries += 1) {
        assert.ok(tries < 500, "it is still there");
        await realClock.sleep(10);
      }
      const log = runtime.logFile("two", name, 0);
      assert.equal(readFileSync(log, "utf8"), "");
      assert.ok(
        !newRuntime()
          .adopt("two")
          .some(({ container }) => container.name === name),
        "it has no record",
      );
    });
  }

  it("hands its containers to a successor, with the ends that happened in between", async () => {
    const lives = await start(["sh", "-c", "echo up; sleep 60"], { podUid: "two" });
    const dies = await start(["sh", "-c", "exit 9"], { podUid: "two" });
    await Promise.all([says(lives, "up"), ended(dies)]);
    const successor = newRuntime();
    const found = new Map(successor.adopt("two").map(({ container, exit }) => [container.name, exit]));
    assert.deepEqual([found.has(lives.name), found.get(lives.name)], [true, undefined]);
    assert.equal(found.get(dies.name)?.exitCode, 9);
    successor.signal(lives, "SIGKILL");
    assert.equal((await ended(lives, successor)).exitCode, 137);
  });

  it("takes a container's last words, or the end of its log when it failed without any", async () => {
    const of = async (script: string, fallbackToLogs: boolean, path = "/dev/termination-log"): Promise<unknown> => {
      const container = await start(["sh", "-c", script], { terminationMessage: { path, fallbackToLogs } });
      return (await ended(container)).message;
    };
    assert.equal(await of("echo bye >/dev/termination-log; echo log; exit 1", true), "bye\n");
    assert.equal(await of("echo bye >/tmp/words", false, "/tmp/words"), "bye\n");
    assert.equal(await of("echo log; exit 1", true), "log\n");
    assert.equal(await of("echo log; exit 0", true), undefined);
    assert.equal(await of("echo log; exit 1", false), undefined);
  });

  it("keeps when lines were written beside the log", async () => {
    const container = await start(["sh", "-c", "echo up; sleep 60"]);
    const end = ended(container);
    await says(container, "up");
    const file = runtime.logFile(container.podUid, container.name, container.attempt);
    runtime.lookAtLog(file);
    const [mark] = readStamps(file).marks;
    assert.ok(mark !== undefined && mark.offset > 0 && Math.abs(mark.timeMs - realClock.nowMs()) < 10_000);
    runtime.signal(container, "SIGKILL");
    await end;
  });

  it("knows when a container is up, and lets no command in before", async () => {
    const container = await start(["sh", "-c", "sleep 60"]);
    assert.equal((await runtime.exec(container, ["true"], 1000)).exitCode, 126);
    assert.equal(await runtime.isUp(container), true);
    assert.equal((await runtime.exec(container, ["true"], 5000)).exitCode, 0);
    await kill(container);
    assert.equal(await runtime.isUp(container), false);
  });

  it("runs a command inside, and leaves nothing of one whose time is up", async () => {
    const container = await start(["sh", "-c", "echo up; sleep 60"]);
    await says(container, "up");
    assert.deepEqual(await runtime.exec(container, ["sh", "-c", "pwd; hostname; ls ..; exit 4"], 5000), {
      exitCode: 4,
      output: `/work\nweb-1\n${await listRoot()}`,
    });
    assert.equal((await runtime.exec(container, ["nft", "list", "ruleset"], 5000)).exitCode, 1);
    assert.equal((await runtime.exec(container, ["sleep", "4712"], 100)).exitCode, undefined);
    for (
      let tries = 0;
      shell("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '").includes("sleep 4712");
      tries += 1
    ) {
      assert.ok(tries < 100, "it is still there");
      await realClock.sleep(20);
    }
    await kill(container);
    assert.equal((await runtime.exec(container, ["true"], 1000)).exitCode, 126);
  });
});

describe("pod network", () => {
  const server =
    "require('http').createServer((q,r)=>{r.statusCode=q.url==='/ok'?200:503;r.end()}).listen(8080,()=>console.log('up'))";
  // One byte of status after five of frame and one of tag: SERVING for the server as a whole, else NOT_SERVING.
  const health =
    "require('http2').createServer().on('stream',s=>{s.respond({':status':200,'content-type':'application/grpc'},{waitForTrailers:true});" +
    "let n=0;s.on('wantTrailers',()=>s.sendTrailers({'grpc-status':'0'}));s.on('data',c=>{n+=c.length});" +
    "s.on('end',()=>s.end(Buffer.from([0,0,0,0,2,8,n>5?2:1])))}).listen(8082,()=>console.log('healthy'))";

  it("carries requests from one pod to another, and probes", async () => {
    const container = await start(["node", "-e", `${server};${health}`]);
    await Promise.all([says(container, "up"), says(container, "healthy")]);
    const client = await start(["node", "-e", "fetch('http://10.244.1.2:8080/ok').then(r=>console.log(r.status))"]);
    assert.equal((await ended(client)).exitCode, 0);
    assert.match(logOf(client), /200/);

    const spec: Container = { name: container.name, ports: [{ name: "http", containerPort: 8080 }] };
    const target = { container: spec, running: container, podIP: "10.244.1.2", netnsPath: netnsPath("one") };
    const prober = createProber(runtime, realClock);
    const rows: readonly [probe: Probe, ok: boolean, detail: RegExp][] = [
      [{ httpGet: { path: "/ok", port: "http" } }, true, /status 200/],
      [{ httpGet: { path: "/", port: 8080 } }, false, /^HTTP probe failed with statuscode: 503$/],
      [
        { httpGet: { port: 8081 } },
        false,
        /^Get "http:\/\/10\.244\.1\.2:8081\/": dial tcp 10\.244\.1\.2:8081: connect: connection refused$/,
      ],
      [{ httpGet: { port: "none" } }, false, /couldn't find port: "none"/],
      [{ httpGet: { port: 8080, scheme: "HTTPS" } }, false, /./],
      [{ tcpSocket: { port: 8080 } }, true, /open/],
      [{ tcpSocket: { port: 8081 } }, false, /^dial tcp 10\.244\.1\.2:8081: connect: connection refused$/],
      [{ exec: { command: ["true"] } }, true, /^$/],
      [{ exec: { command: ["sh", "-c", "echo bad; exit 2"] } }, false, /^bad\n$/],
      [{ grpc: { port: 8082 } }, true, /service healthy/],
      [{ grpc: { port: 8082, service: "none" } }, false, /^service unhealthy \(responded with "NOT_SERVING"\)$/],
      [{ grpc: { port: 8081 } }, false, /failed to connect service at "10\.244\.1\.2:8081": dial tcp/],
      [{}, false, /wanted one of/],
    ];
    for (const [probe, ok, detail] of rows) {
      const result = await prober(probe, target, 2000);
      assert.equal(result.ok, ok, `${JSON.stringify(probe)}: ${result.detail}`);
      assert.match(result.detail, detail);
    }
    await kill(container);
  });

  it("reaches a pod by way of the node from another pod", async () => {
    shell("nsenter --net=/run/netns/pod-two nft delete table ip wherry-sidecar");
    const container = await start(["node", "-e", server], { podUid: "two" });
    await says(container, "up");
    const client = await start(["node", "-e", "fetch('http://10.244.1.3:8080/ok').then(r=>console.log(r.status))"]);
    assert.equal((await ended(client)).exitCode, 0, logOf(client));
    await kill(container);
  });
});
