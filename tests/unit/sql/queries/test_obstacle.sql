CREATE TABLE projects (obstacle int)
