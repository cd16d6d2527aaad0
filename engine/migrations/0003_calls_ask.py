from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("models", "0002_title_by")]
    initial = False

    operations = [
        ops.AddField(model_name="Call", name="asks", field=fields.BooleanField(db_default=True)),
        # Existing calls keep the value that their timeline has shown so far.
        ops.RunSQL(sql="UPDATE calls SET asks = FALSE WHERE kind = 'read'", reverse_sql="SELECT 1"),
    ]
