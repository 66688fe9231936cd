// The main job as a lean Node script: the same two mappings, evaluated by jsonata in JavaScript,
// and nothing kept that would survive a stop.

import { readFile } from 'node:fs/promises';
import jsonata from 'jsonata';

const PAGE = 1000;
const { env } = process;

async function mapping(path) {
  return jsonata(await readFile(new URL(path, import.meta.url), 'utf8'));
}

async function ask(url, options = {}) {
  const response = await fetch(url, options);
  if (!response.ok) {
    throw new Error(`${url}: ${response.status} ${await response.text()}`);
  }
  return response.json();
}

function post(url, body, headers = {}) {
  headers = { 'Content-Type': 'application/json', ...headers };
  return ask(url, { method: 'POST', headers, body: JSON.stringify(body) });
}

const toContact = await mapping(
  '../../../crates/connectors/cleverreach/src/receiver-to-contact.jsonata');
const toProfile = await mapping('../contact-to-profile.jsonata');

const token = await post(new URL('/oauth/token.php', env.CLEVERREACH_URL), {
  grant_type: 'client_credentials',
  client_id: env.CLEVERREACH_CLIENT_ID,
  client_secret: env.CLEVERREACH_CLIENT_SECRET,
});
const headers = { Authorization: `Bearer ${token.access_token}` };
const groups = await ask(`${env.CLEVERREACH_URL}/groups.json`, { headers });
const group = groups.find(({ name }) => name === 'Newsletter').id;

let uploaded = 0;
for (let page = 0; ; page += 1) {
  const query = new URLSearchParams(
    { pagesize: PAGE, page, type: 'all', detail: 4, order_by: 'registered desc' });
  const url = `${env.CLEVERREACH_URL}/groups.json/${group}/receivers?${query}`;
  const receivers = await ask(url, { headers });
  if (receivers.length > 0) {
    const d = [];
    for (const receiver of receivers) {
      const metadata = { recordUid: receiver.id };
      const data = await toContact.evaluate({ metadata, data: receiver });
      const { identity, profileData } = await toProfile.evaluate({ metadata, data });
      d.push({ identity, type: 'profile', profileData });
    }
    const answer = await post(`${env.CLEVERTAP_URL}/1/upload`, { d }, {
      'X-CleverTap-Account-Id': env.CLEVERTAP_PROJECT_ID,
      'X-CleverTap-Passcode': env.CLEVERTAP_PASSCODE,
    });
    if (answer.status !== 'success') {
      throw new Error(`page ${page}: ${JSON.stringify(answer)}`);
    }
    uploaded += receivers.length;
  }
  if (receivers.length < PAGE) {
    break;
  }
}
console.log(`uploaded ${uploaded}`);
