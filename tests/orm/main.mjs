// All tests in one process and one after the other: the story begins with the tables as they were, and protects them.

import './story.mjs';
import './writes.mjs';
import './transactions.mjs';
import './compare_and_set.mjs';
import './system_prompts.mjs';
import './migrations.mjs';
import './drizzle.mjs';
import './replay.mjs';
import './verify.mjs';
import './end.mjs';
