// Runs every check with one installed Svix SDK (1.x or 2.x) against one running server.
//
// Usage: check.mjs SERVER_URL ROOT_KEY FOLDER, where FOLDER holds the node_modules of the SDK.
// Prints one line per check and last `N passed, M failed`; exits with 1 if any failed. The checks
// themselves are in the `checks_*` files.

import assert from "node:assert/strict";

import { CHECKS as CONFIG_CHECKS } from "./checks_config.mjs";
import { CHECKS as MESSAGE_CHECKS } from "./checks_messages.mjs";
import { CHECKS as RECOVERY_CHECKS } from "./checks_recovery.mjs";
import { Skipped, World } from "./world.mjs";

/** "messagesPageWithoutLoss" -> "messages page without loss" */
const sentence = (name) => name.replace(/([a-z])([A-Z0-9])/g, "$1 $2").toLowerCase();

async function main(serverUrl, token, folder) {
  const world = await World.start(serverUrl, token, folder);
  const count = { ok: 0, FAIL: 0, skip: 0 };
  const report = (outcome, text) => {
    count[outcome] += 1;
    console.log(`${outcome.padEnd(5)} ${text}`);
  };
  for (const check of [...CONFIG_CHECKS, ...MESSAGE_CHECKS, ...RECOVERY_CHECKS]) {
    const name = sentence(check.name);
    try {
      await check(world);
      report("ok", name);
    } catch (error) {
      if (error instanceof Skipped) {
        report("skip", `${name}: ${error.message}`);
        continue;
      }
      report("FAIL", `${name}: ${error.name}: ${error.message}`);
      // An AssertionError says it all; of an ApiException the body matters, of others the place.
      if (error instanceof world.ApiException) console.error(error.body);
      else if (!(error instanceof assert.AssertionError)) console.error(error.stack);
    }
  }
  world.receiver.close();
  if (count.skip > 0) console.log(`${count.skip} skipped (operations the server does not serve)`);
  console.log(`node svix ${world.version}: ${count.ok} passed, ${count.FAIL} failed`);
  return count.FAIL > 0 ? 1 : 0;
}

if (process.argv.length !== 5) {
  console.error("usage: check.mjs SERVER_URL ROOT_KEY FOLDER");
  process.exit(2);
}
process.exitCode = await main(...process.argv.slice(2));
