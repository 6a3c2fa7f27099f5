SELECT project_id FROM versioned.create_complete_project(gen_random_uuid(), 'react', 'a todo app', 'Todo');
