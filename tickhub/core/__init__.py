"""The shared vocabulary: pure modules that import nothing of Django, Celery or psycopg."""
