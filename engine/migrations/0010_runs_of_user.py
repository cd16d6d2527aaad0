from tortoise import migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("models", "0009_retention")]
    initial = False

    operations = [
        ops.AddIndex(
            model_name="Run", index=Index(fields=("user_id", "created_at", "id"), name="runs_by_user")
        ),
    ]
