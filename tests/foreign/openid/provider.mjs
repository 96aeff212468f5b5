// An OpenID provider with its own log-in page: `node provider.mjs HOST PORT FEDIDOC_URL`.
// Whoever types a login is that login; POST /control/people {login: claims} says who there is.
import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const [host, port, fedidoc] = process.argv.slice(2);
const issuer = `http://${host}:${port}`;
const people = new Map();
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "fedidoc",
      client_secret: "a secret/of+40 & characters, so that it is encoded",
      redirect_uris: [`${fedidoc}/log-in/provider/return`],
      post_logout_redirect_uris: [`${fedidoc}/log-in/provider/left`],
      backchannel_logout_uri: `${fedidoc}/log-in/provider/back-channel`,
      backchannel_logout_session_required: true,
      token_endpoint_auth_method: "client_secret_basic",
      id_token_signed_response_alg: "PS256",
    },
  ],
  claims: {
    openid: ["sub", "groups"],
    profile: ["preferred_username", "name", "job", "taxonomy", "licensed_in", "licence", "npi"],
    email: ["email"],
  },
  features: {
    backchannelLogout: { enabled: true },
    devInteractions: { enabled: true },
    rpInitiatedLogout: { enabled: true },
  },
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", kid: "house" }] },
  cookies: { keys: ["not a secret: this provider is for tests"] },
  // Its own way out refuses addresses of this machine, where this client lives.
  fetch: (url, options) => {
    const { dispatcher, ...plain } = options;
    return fetch(url, plain);
  },
  pkce: { required: () => true },
  findAccount: (ctx, login) =>
    people.has(login)
      ? { accountId: login, claims: () => ({ sub: login, ...people.get(login) }) }
      : undefined,
  // The house has agreed for its people: nobody is asked what may be told.
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope("openid profile email");
    await grant.save();
    return grant;
  },
});

provider.use(async (ctx, next) => {
  if (ctx.path !== "/control/people") return next();
  const chunks = [];
  for await (const chunk of ctx.req) chunks.push(chunk);
  for (const [login, claims] of Object.entries(JSON.parse(Buffer.concat(chunks)))) {
    people.set(login, claims);
  }
  ctx.body = {};
});

provider.on("server_error", (ctx, error) => console.error(error));
provider.on("backchannel.error", (ctx, error) => console.error(error));
provider.on("authorization.error", (ctx, error) => console.error(error));
provider.on("grant.error", (ctx, error) => console.error(error));
provider.listen(Number(port), host, () => console.log("listening"));
