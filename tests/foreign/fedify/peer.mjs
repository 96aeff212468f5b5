// A small server on Fedify that fedidoc's tests federate with, told what to do over /control.
//
//   node peer.mjs PORT [cavage|rfc9421]
//
// It listens on 127.0.0.1:PORT, prints one JSON line when it is ready, and holds one actor, "maria".
// Every activity that Fedify let through (signature, digest and date checked) is kept and shown at
// GET /control/received. POST /control/<what> with a JSON body does one thing and answers JSON.
import { createServer } from "node:http";
import { Temporal } from "@js-temporal/polyfill";
import {
  createFederation,
  generateCryptoKeyPair,
  InProcessMessageQueue,
  MemoryKvStore,
} from "@fedify/fedify";
import {
  Accept,
  Activity,
  Create,
  Delete,
  Follow,
  Like,
  Mention,
  Note,
  Person,
  PUBLIC_COLLECTION,
  Tombstone,
  Undo,
  Update,
} from "@fedify/fedify/vocab";

const port = Number(process.argv[2]);
const knock = process.argv[3] === "rfc9421" ? "rfc9421" : "draft-cavage-http-signatures-12";
const origin = `http://127.0.0.1:${port}`;
const NAME = "maria";

const received = [];
const followers = new Map();
const notes = new Map();
let keys = null;

const federation = createFederation({
  kv: new MemoryKvStore(),
  queue: new InProcessMessageQueue(),
  manuallyStartQueue: false,
  origin,
  allowPrivateAddress: true,
  firstKnock: knock,
});

federation
  .setActorDispatcher("/users/{identifier}", async (context, identifier) => {
    if (identifier !== NAME) return null;
    const pairs = await context.getActorKeyPairs(identifier);
    return new Person({
      id: context.getActorUri(identifier),
      preferredUsername: identifier,
      name: "Maria of the Fedify peer",
      inbox: context.getInboxUri(identifier),
      outbox: context.getOutboxUri(identifier),
      followers: context.getFollowersUri(identifier),
      url: context.getActorUri(identifier),
      publicKey: pairs[0].cryptographicKey,
      assertionMethods: pairs.map((pair) => pair.multikey),
    });
  })
  .setKeyPairsDispatcher(async (_context, identifier) => {
    if (identifier !== NAME) return [];
    keys ??= [
      await generateCryptoKeyPair("RSASSA-PKCS1-v1_5"),
      await generateCryptoKeyPair("Ed25519"),
    ];
    return keys;
  });

federation.setFollowersDispatcher("/users/{identifier}/followers", (_context, identifier) =>
  identifier === NAME ? { items: [...followers.values()] } : null,
);
federation.setOutboxDispatcher("/users/{identifier}/outbox", () => ({ items: [] }));
federation.setObjectDispatcher(Note, "/notes/{id}", (_context, { id }) => notes.get(id) ?? null);

federation
  .setInboxListeners("/users/{identifier}/inbox", "/inbox")
  .setSharedKeyDispatcher(() => ({ identifier: NAME }))
  .on(Follow, async (context, follow) => {
    await keep(follow);
    const follower = await follow.getActor(context);
    if (follower?.id == null || follower.inboxId == null) return;
    followers.set(follower.id.href, {
      id: follower.id,
      inboxId: follower.inboxId,
      endpoints: follower.endpoints,
    });
    await context.sendActivity(
      { identifier: NAME },
      follower,
      new Accept({
        id: new URL(`${origin}/activities/${crypto.randomUUID()}`),
        actor: follow.objectId,
        object: follow,
      }),
    );
  })
  .on(Activity, async (_context, activity) => keep(activity));

async function keep(activity) {
  received.push(await activity.toJsonLd());
}

function note(context, id, { content, to, inReplyTo, published, updated }) {
  const people = to.map((iri) => new URL(iri));
  return new Note({
    id: context.getObjectUri(Note, { id }),
    attribution: context.getActorUri(NAME),
    content,
    published,
    updated,
    replyTarget: inReplyTo ? new URL(inReplyTo) : undefined,
    tos: [PUBLIC_COLLECTION, ...people],
    ccs: [context.getFollowersUri(NAME)],
    tags: people.map((href) => new Mention({ href, name: href.href })),
  });
}

// Each takes (context, body) and answers what the test may want to know.
const controls = {
  async lookup(context, { uri }) {
    const found = await context.lookupObject(uri, {
      documentLoader: await context.getDocumentLoader({ identifier: NAME }),
    });
    return { found: found === null ? null : await found.toJsonLd() };
  },
  async follow(context, { actor }) {
    const target = await person(context, actor);
    const id = new URL(`${origin}/follows/${crypto.randomUUID()}`);
    await send(
      context,
      target,
      new Follow({ id, actor: context.getActorUri(NAME), object: target.id }),
    );
    return { id: id.href };
  },
  async post(context, { content, to = [], inReplyTo = null, recipient }) {
    const id = crypto.randomUUID();
    const made = note(context, id, {
      content,
      to,
      inReplyTo,
      published: Temporal.Now.instant(),
    });
    notes.set(id, made);
    await send(context, await person(context, recipient), activityOf(Create, context, made));
    return { id: made.id.href };
  },
  async edit(context, { id, content, recipient }) {
    const key = id.split("/").pop();
    const made = notes.get(key).clone({ content, updated: Temporal.Now.instant() });
    notes.set(key, made);
    await send(context, await person(context, recipient), activityOf(Update, context, made));
    return { id };
  },
  async delete(context, { id, recipient }) {
    notes.delete(id.split("/").pop());
    await send(
      context,
      await person(context, recipient),
      activityOf(Delete, context, new Tombstone({ id: new URL(id) })),
    );
    return { id };
  },
  async like(context, { object, recipient }) {
    const id = new URL(`${origin}/likes/${crypto.randomUUID()}`);
    const like = new Like({ id, actor: context.getActorUri(NAME), object: new URL(object) });
    await send(context, await person(context, recipient), like);
    return { id: id.href };
  },
  async unfollow(context, { id, actor }) {
    const target = await person(context, actor);
    await send(
      context,
      target,
      new Undo({
        id: new URL(`${id}#undo`),
        actor: context.getActorUri(NAME),
        object: new Follow({
          id: new URL(id),
          actor: context.getActorUri(NAME),
          object: target.id,
        }),
      }),
    );
    return { id };
  },
};

function activityOf(Kind, context, object) {
  return new Kind({
    id: new URL(`${origin}/activities/${crypto.randomUUID()}`),
    actor: context.getActorUri(NAME),
    object,
    tos: object.toIds?.length ? object.toIds : [PUBLIC_COLLECTION],
    ccs: object.ccIds ?? [],
  });
}

async function person(context, uri) {
  const found = await context.lookupObject(uri, {
    documentLoader: await context.getDocumentLoader({ identifier: NAME }),
  });
  if (found === null) throw new Error(`cannot look up ${uri}`);
  return found;
}

async function send(context, recipient, activity) {
  await context.sendActivity({ identifier: NAME }, recipient, activity, { immediate: true });
}

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function control(name, payload) {
  if (name === "received") return received;
  const act = controls[name];
  if (act === undefined) throw new Error(`no such control: ${name}`);
  return await act(federation.createContext(new URL(origin), undefined), payload);
}

createServer(async (incoming, outgoing) => {
  const url = new URL(incoming.url, origin);
  const bytes = await body(incoming);
  if (url.pathname.startsWith("/control/")) {
    outgoing.setHeader("content-type", "application/json");
    try {
      const payload = bytes.length ? JSON.parse(bytes) : {};
      outgoing.end(JSON.stringify(await control(url.pathname.slice(9), payload)));
    } catch (error) {
      outgoing.statusCode = 500;
      outgoing.end(JSON.stringify({ error: String(error) }));
    }
    return;
  }
  const request = new Request(url, {
    method: incoming.method,
    headers: incoming.headers,
    body: ["GET", "HEAD"].includes(incoming.method) ? undefined : bytes,
  });
  const response = await federation.fetch(request, { contextData: undefined });
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.end(Buffer.from(await response.arrayBuffer()));
}).listen(port, "127.0.0.1", () => {
  console.log(JSON.stringify({ ready: true, actor: `${origin}/users/${NAME}` }));
});
