/** Messages of nftables as the kernel writes them. */
import assert from "node:assert/strict";
import test from "node:test";
import { errorsIn, generationIn, generationRequest, namesOurTable, setSequence } from "./messages.ts";

/** nlmsghdr, nfgenmsg, then one attribute. */
function message(type: number, attribute: number, value: Buffer): Buffer {
  const padded = (4 + value.length + 3) & ~3;
  const all = Buffer.alloc(20 + padded);
  all.writeUInt32LE(all.length, 0);
  all.writeUInt16LE((10 << 8) | type, 4);
  all.writeUInt16LE(4 + value.length, 20);
  all.writeUInt16LE(attribute, 22);
  value.copy(all, 24);
  return all;
}

const newRule = 6;
const newGeneration = 15;
const named = (name: string): Buffer => message(newRule, 1, Buffer.from(`${name}\0`));
const generation = (number: number): Buffer => {
  const value = Buffer.alloc(4);
  value.writeUInt32BE(number);
  return message(newGeneration, 1, value);
};

test("a change is ours to mend by the name of its table, anywhere in a datagram", () => {
  assert.equal(namesOurTable(named("wherry-proxy")), true);
  assert.equal(namesOurTable(named("wherry-policy-2")), true);
  assert.equal(namesOurTable(named("wherry-proxy-3")), false);
  assert.equal(namesOurTable(Buffer.concat([named("filter"), generation(7), named("wherry-proxy-2")])), true);
  assert.equal(namesOurTable(Buffer.concat([named("filter"), generation(7)])), false);
});

test("the number of the last transaction is that of NEWGEN alone", () => {
  assert.equal(generationIn(generation(4_294_967_295)), 4_294_967_295);
  assert.equal(generationIn(named("wherry-proxy")), undefined);
});

test("what is cut off or lies about its length is nothing", () => {
  const whole = generation(7);
  for (let length = 0; length < whole.length; length++) {
    assert.equal(generationIn(whole.subarray(0, length)), undefined);
    assert.equal(namesOurTable(named("wherry-proxy").subarray(0, length)), false);
  }
  for (const lie of [0, 3, 65_535]) {
    const bad = generation(7);
    bad.writeUInt16LE(lie, 20);
    assert.equal(generationIn(bad), undefined);
  }
});

test("the question is NFT_MSG_GETGEN of no family", () => {
  assert.equal(generationRequest.toString("hex"), "14000000100a0100000000000000000000000000");
});

test("answers are those of their transaction's number", () => {
  /** NLMSG_ERROR: an errno, then the header of the request. */
  const answer = (sequence: number, errno: number): Buffer => {
    const all = Buffer.alloc(36);
    all.writeUInt32LE(36, 0);
    all.writeUInt16LE(2, 4);
    all.writeUInt32LE(sequence, 8);
    all.writeInt32LE(-errno, 16);
    return all;
  };
  const datagram = Buffer.concat([answer(6, 0), answer(7, 2), generation(1), answer(7, 0)]);
  assert.deepEqual(errorsIn(datagram, 7), [2, 0]);
  assert.deepEqual(errorsIn(datagram, 8), []);
  const messages = Buffer.concat([generation(1), named("t")]);
  setSequence(messages, 4_294_967_295);
  assert.equal(messages.readUInt32LE(8), 4_294_967_295);
  assert.equal(messages.readUInt32LE(generation(1).length + 8), 4_294_967_295);
});
