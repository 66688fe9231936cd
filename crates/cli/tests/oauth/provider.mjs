// A real OAuth2 server (oidc-provider) in the place of CleverReach: the same paths, logins by its own
// pages, rotated refresh tokens of which each is good once, and as much of the API as the test of
// an account asks for. It says its port on standard output.
import http from "node:http";
import Provider from "oidc-provider";

const redirects = JSON.parse(process.env.REDIRECTS);
const counts = { granted: 0, refused: 0, renewed: 0 };
let hold = false;
let held = [];

const server = http.createServer();
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const issuer = `http://127.0.0.1:${server.address().port}`;

const client = (client_id) => ({
  client_id,
  client_secret: "not-a-real-client-secret",
  redirect_uris: redirects,
  grant_types: ["authorization_code", "refresh_token"],
  response_types: ["code"],
});

const provider = new Provider(issuer, {
  clients: [client("an-app"), client("an-app-with-proof-key")],
  routes: { authorization: "/oauth/authorize.php", token: "/oauth/token.php" },
  pkce: { required: (_, it) => it.clientId === "an-app-with-proof-key" },
  scopes: ["openid", "offline_access", "recipients"],
  issueRefreshToken: async () => true,
  rotateRefreshToken: true,
  ttl: { AccessToken: 3600, RefreshToken: 86400, Grant: 86400, Session: 86400, Interaction: 600 },
  features: { devInteractions: { enabled: true }, revocation: { enabled: true } },
  cookies: { keys: ["a key of a test"] },
  async findAccount(_, id) {
    return { accountId: id, claims: async () => ({ sub: id }) };
  },
});
provider.on("grant.success", (ctx) => {
  counts.granted += 1;
  if (ctx.oidc.params.grant_type === "refresh_token") counts.renewed += 1;
});
provider.on("grant.error", () => (counts.refused += 1));

const answer = (res, status, body) => {
  res.writeHead(status, { "content-type": "application/json" });
  res.end(JSON.stringify(body));
};

const api = async (req, res) => {
  const token = (req.headers.authorization ?? "").replace(/^Bearer /, "");
  const known = token && (await provider.AccessToken.find(token));
  if (!known) return answer(res, 401, { error: { code: 401, message: "Unauthorized" } });
  if (req.method === "DELETE" && req.url === "/oauth/token") {
    const grant = await provider.Grant.find(known.grantId);
    await known.destroy();
    await grant?.destroy();
    return answer(res, 200, true);
  }
  const path = req.url.split("?")[0].replace(".json", "");
  const known_paths = {
    "/v3/debug/whoami": { id: "129148", company: `Example of ${known.accountId}` },
    "/v3/debug/ttl": { ttl: 3600 },
    "/v3/groups": [{ id: "1", name: "Newsletter" }],
    "/v3/groups/1/receivers": [],
  };
  const body = known_paths[path];
  return body ? answer(res, 200, body) : answer(res, 404, { error: { code: 404, message: "Not Found" } });
};

const oauth = provider.callback();
server.on("request", (req, res) => {
  if (req.url === "/_counts") return answer(res, 200, counts);
  if (req.url === "/_hold") {
    hold = true;
    return answer(res, 200, {});
  }
  if (req.url === "/_release") {
    hold = false;
    for (const go of held.splice(0)) go();
    return answer(res, 200, {});
  }
  if (req.url.startsWith("/v3/") || (req.method === "DELETE" && req.url === "/oauth/token")) {
    return void api(req, res);
  }
  if (req.url.startsWith("/oauth/authorize.php?") && !req.url.includes("scope=")) {
    // Without a scope the app's own one is meant.
    req.url += "&scope=recipients";
  }
  if (hold && req.url === "/oauth/token.php") {
    // What was rotated stays rotated; only the answer waits.
    const end = res.end.bind(res);
    res.end = (...rest) => (hold ? (held.push(() => end(...rest)), res) : end(...rest));
  }
  return oauth(req, res);
});
console.log(issuer);
